// Three requests by net/http through a proxy: the second and third with content, in chunks.
package main

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
)

type unsized struct{ io.Reader } // no length is known of it

func main() {
	proxy, err := url.Parse(os.Args[1])
	if err != nil {
		panic(err)
	}
	client := http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(proxy)}}
	told := []string{}
	for i := 0; i < 3; i++ {
		method, content := "GET", io.Reader(nil)
		if i > 0 {
			method, content = "POST", unsized{strings.NewReader(strings.Repeat("g", i*100000))}
		}
		request, err := http.NewRequest(method, fmt.Sprintf("%s?%d", os.Args[2], i), content)
		if err != nil {
			panic(err)
		}
		response, err := client.Do(request)
		if err != nil {
			panic(err)
		}
		text, err := io.ReadAll(response.Body)
		if err != nil {
			panic(err)
		}
		response.Body.Close()
		told = append(told, string(text))
	}
	fmt.Printf("[%s]\n", strings.Join(told, ","))
}
