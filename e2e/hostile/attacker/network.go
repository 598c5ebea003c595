package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// network returns what can be reached beyond the own Runtime API.
func network(e event) any {
	var found []string
	reach := func(network, address string) {
		d := net.Dialer{Timeout: 300 * time.Millisecond}
		if c, err := d.Dial(network, address); err == nil {
			c.Close()
			found = append(found, network+" "+address)
		}
	}
	for _, a := range e.Addresses {
		reach("tcp", a)
	}
	for _, a := range e.Abstract {
		reach("unix", "@"+a)
	}
	for _, a := range e.Paths {
		reach("unix", a)
	}
	// Every port of loopback: the namespace has one listener.
	api := os.Getenv("AWS_LAMBDA_RUNTIME_API")
	var mu sync.Mutex
	var scan sync.WaitGroup
	for w := range 8 {
		scan.Go(func() {
			for port := 1 + w; port < 1<<16; port += 8 {
				address := fmt.Sprintf("127.0.0.1:%d", port)
				// A port of the range that clients get may connect to itself.
				c, err := net.DialTimeout("tcp", address, 300*time.Millisecond)
				if err != nil {
					continue
				}
				if c.LocalAddr().String() != c.RemoteAddr().String() && address != api {
					mu.Lock()
					found = append(found, "tcp "+address)
					mu.Unlock()
				}
				c.Close()
			}
		})
	}
	scan.Wait()
	if raw, err := os.ReadFile("/proc/net/unix"); err == nil {
		for line := range strings.Lines(string(raw)) {
			if f := strings.Fields(line); len(f) > 7 && f[0] != "Num" {
				found = append(found, "unix socket "+f[7])
			}
		}
	}
	interfaces, _ := net.Interfaces()
	for _, i := range interfaces {
		if i.Name != "lo" {
			found = append(found, "interface "+i.Name)
		}
	}
	return found
}

// malformed are requests that no client sends. %s is the running request's id.
var malformed = []string{
	"", "\r\n\r\n\r\n", "\x00\x01\x02\xff\xfe\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "GET / HTTP/1.1\r\n\r\n",
	"GET " + invocation + "next HTTP/1.1\nHost: x\n", "get " + invocation + "next HTTP/1.1\r\nHost: x\r\n\r\n",
	"GET //" + invocation + "/next HTTP/1.1\r\nHost: x\r\n\r\n", "GET http://a:b@[::1]:99999/ HTTP/1.1\r\nHost: x\r\n\r\n",
	"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00", "CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: x\r\n\r\n",
	"TRACE / HTTP/1.1\r\nHost: x\r\n\r\n", "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", "GET / HTTP/1.1\r\nHost: x\r\n folded: x\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: x\r\nA\x00B: c\r\n\r\n", "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
	"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
	"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
	"POST %sx HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\nHost: y\r\n\r\n",
	"POST %s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
	"POST %s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
	"POST %s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n",
	"POST %s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5;" + strings.Repeat("x", 100_000) + "\r\nhello\r\n",
	"POST %s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTrailer: Content-Length\r\n\r\nzz\r\n",
	"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf",
	"POST %s HTTP/1.1\r\nHost: x\r\nExpect: 200-maybe\r\nContent-Length: 2\r\n\r\n{}",
	"DELETE %s HTTP/1.1\r\nHost: x\r\n\r\n", "POST %s/../../../.. HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
	"GET /" + strings.Repeat("a", 1<<20) + " HTTP/1.1\r\nHost: x\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("A: "+strings.Repeat("b", 1000)+"\r\n", 1000) + "\r\n",
	"GET / HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("a:b\r\n", 100_000) + "\r\n",
	strings.Repeat("GET /x HTTP/1.1\r\nHost: x\r\n\r\n", 2000),
	"GET /thermocline/v1/binding HTTP/1.1\r\nHost: x\r\n\r\n",
	"POST /2018-06-01/runtime/init/error HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}",
}

// api sends what is malformed, again and again, and returns the answers that
// were not refusals.
func api(e event) any {
	path := invocation + e.request + "/response"
	address := os.Getenv("AWS_LAMBDA_RUNTIME_API")
	accepted := map[string]bool{}
	end := e.until()
	for first := true; first || time.Now().Before(end); first = false {
		for _, m := range malformed {
			for _, status := range exchange(address, strings.ReplaceAll(m, "%s", path)) {
				if strings.HasPrefix(status, "2") {
					accepted[fmt.Sprintf("%.60q: %s", m, status)] = true
				}
			}
		}
		endless(address, path)
	}
	var list []string
	for a := range accepted {
		list = append(list, a)
	}
	slices.Sort(list)
	return list
}

// exchange sends text on a connection of its own and returns the statuses of
// the answers that come within a moment.
func exchange(address, text string) []string {
	c, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return nil
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(30 * time.Millisecond))
	go func() { _, _ = io.WriteString(c, text) }()
	var statuses []string
	lines := bufio.NewReader(c)
	for {
		line, err := lines.ReadString('\n')
		if rest, ok := strings.CutPrefix(line, "HTTP/1.1 "); ok {
			statuses = append(statuses, rest[:min(3, len(rest))])
		}
		if err != nil {
			return statuses
		}
	}
}

// endless sends a header and a chunk that never end, for a moment.
func endless(address, path string) {
	for _, start := range []string{
		"GET / HTTP/1.1\r\nHost: x\r\nA: ",
		"POST " + path + "x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nfffffff\r\n",
	} {
		c, err := net.DialTimeout("tcp", address, time.Second)
		if err != nil {
			return
		}
		_ = c.SetDeadline(time.Now().Add(100 * time.Millisecond))
		_, err = io.WriteString(c, start)
		for chunk := bytes.Repeat([]byte("b"), 64<<10); err == nil; {
			_, err = c.Write(chunk)
		}
		c.Close()
	}
}

// slowAPI holds as many connections as it gets, with requests that trickle.
func slowAPI(e event) any {
	address := os.Getenv("AWS_LAMBDA_RUNTIME_API")
	var conns []net.Conn
	for range 200 {
		c, err := net.DialTimeout("tcp", address, 20*time.Millisecond)
		if err != nil {
			break
		}
		_, _ = io.WriteString(c, "GET / HTTP/1.1\r\n")
		conns = append(conns, c)
	}
	for end := e.until(); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		for _, c := range conns {
			_ = c.SetWriteDeadline(time.Now().Add(time.Millisecond))
			_, _ = io.WriteString(c, "A: b\r\n")
		}
	}
	for _, c := range conns {
		c.Close()
	}
	return len(conns)
}
