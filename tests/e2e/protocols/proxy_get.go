// A Go client of an HTTPS proxy: net/http asks it by CONNECT for an https:// URL.
// usage: proxy_get PROXY-URL URL CA CERTIFICATE KEY
package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
)

func main() {
	proxy, _ := url.Parse(os.Args[1])
	authority, _ := os.ReadFile(os.Args[3])
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority)
	certificate, err := tls.LoadX509KeyPair(os.Args[4], os.Args[5])
	if err != nil {
		panic(err)
	}
	settings := &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{certificate}}
	client := http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(proxy), TLSClientConfig: settings}}
	answer, err := client.Get(os.Args[2])
	if err != nil {
		fmt.Println("refused:", err)
		os.Exit(3)
	}
	body, _ := io.ReadAll(answer.Body)
	fmt.Print(string(body))
}
