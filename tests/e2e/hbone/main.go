// A client of HBONE on Istio's own package: PROXY TARGET CA CERTIFICATE KEY. It sends a line through the tunnel, and
// prints what comes back.
package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"time"

	"istio.io/istio/pkg/hbone"
)

func run(proxy, target, ca, certificate, key string) error {
	authorities, err := os.ReadFile(ca)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authorities)
	pair, err := tls.LoadX509KeyPair(certificate, key)
	if err != nil {
		return err
	}
	timeout := 30 * time.Second
	dialer := hbone.NewDialer(hbone.Config{
		ProxyAddress: proxy,
		Timeout:      &timeout,
		TLS:          &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}, ServerName: "gateway.test"},
	})
	connection, err := dialer.Dial("tcp", target)
	if err != nil {
		return err
	}
	defer connection.Close()
	if _, err = fmt.Fprintf(connection, "\x00hello\n"); err != nil {
		return err
	}
	line, err := bufio.NewReader(connection).ReadString('\n')
	fmt.Print(line)
	return err
}

func main() {
	if err := run(os.Args[1], os.Args[2], os.Args[3], os.Args[4], os.Args[5]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
