// gRPC through an HTTPS proxy, both ends: the health service over TLS, and a client whose connections are tunnels that it
// asks the proxy for by CONNECT, over TLS with a certificate.
//
//	grpc serve CERTIFICATE KEY                        prints its port, and serves until stdin ends
//	grpc check PROXY TARGET CA CERTIFICATE KEY        asks once, and watches: prints both answers
package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	health_pb "google.golang.org/grpc/health/grpc_health_v1"
)

func serve(certificate, key string) error {
	pair, err := credentials.NewServerTLSFromFile(certificate, key)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := grpc.NewServer(grpc.Creds(pair))
	health_pb.RegisterHealthServer(server, health.NewServer())
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	go func() {
		io.Copy(io.Discard, os.Stdin)
		server.Stop()
	}()
	return server.Serve(listener)
}

// What was read behind the answer's head comes first.
type tunnel struct {
	net.Conn
	reader *bufio.Reader
}

func (t *tunnel) Read(to []byte) (int, error) { return t.reader.Read(to) }

func connect(ctx context.Context, proxy string, settings *tls.Config, target string) (net.Conn, error) {
	dialer := tls.Dialer{Config: settings}
	connection, err := dialer.DialContext(ctx, "tcp", proxy)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(connection, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", target, target)
	reader := bufio.NewReader(connection)
	answer, err := http.ReadResponse(reader, &http.Request{Method: http.MethodConnect})
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("refused: %s, %s", answer.Status, answer.Header.Get("Proxy-Status"))
	}
	if err != nil {
		connection.Close()
		return nil, err
	}
	return &tunnel{connection, reader}, nil
}

func check(proxy, target, ca, certificate, key string) error {
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
	shown := &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}, NextProtos: []string{"http/1.1"}}
	client, err := grpc.NewClient(
		"passthrough:///"+target,
		grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: roots})),
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			return connect(ctx, proxy, shown, address)
		}),
	)
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	service := health_pb.NewHealthClient(client)
	answer, err := service.Check(ctx, &health_pb.HealthCheckRequest{})
	if err != nil {
		return err
	}
	stream, err := service.Watch(ctx, &health_pb.HealthCheckRequest{})
	if err != nil {
		return err
	}
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	fmt.Println(answer.Status, first.Status)
	return nil
}

func run(arguments []string) error {
	switch {
	case len(arguments) == 3 && arguments[0] == "serve":
		return serve(arguments[1], arguments[2])
	case len(arguments) == 6 && arguments[0] == "check":
		return check(arguments[1], arguments[2], arguments[3], arguments[4], arguments[5])
	}
	return fmt.Errorf("usage: grpc serve CERTIFICATE KEY | grpc check PROXY TARGET CA CERTIFICATE KEY")
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
