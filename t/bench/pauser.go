// A reverse proxy that can be paused as kamal-proxy can: each request waits on a channel that the resume closes.
//
//	pauser FRONT APP FAST
//
// FRONT is where it listens, 127.0.0.1:port. Requests go to APP, a Unix socket; those to /fast go to FAST, 127.0.0.1:port.
// GET /_pause and /_resume change the state.
package main

import (
	"context"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"
)

const failAfter = 300 * time.Second

// Pause is a gate: open if resumed is nil.
type Pause struct {
	lock    sync.RWMutex
	resumed chan struct{}
}

func (p *Pause) begin() {
	p.lock.Lock()
	defer p.lock.Unlock()
	if p.resumed == nil {
		p.resumed = make(chan struct{})
	}
}

func (p *Pause) end() {
	p.lock.Lock()
	defer p.lock.Unlock()
	if p.resumed != nil {
		close(p.resumed)
		p.resumed = nil
	}
}

// wait returns false if the pause takes too long.
func (p *Pause) wait() bool {
	p.lock.RLock()
	resumed := p.resumed
	p.lock.RUnlock()
	if resumed == nil {
		return true
	}
	select {
	case <-resumed:
		return true
	case <-time.After(failAfter):
		return false
	}
}

func proxy(network, address string) *httputil.ReverseProxy {
	dialer := net.Dialer{}
	handler := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: "localhost"})
	handler.Transport = &http.Transport{
		MaxIdleConnsPerHost: 100,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, address)
		},
	}
	return handler
}

func main() {
	if len(os.Args) != 4 {
		log.Fatal("usage: pauser FRONT APP FAST")
	}
	app, fast := proxy("unix", os.Args[2]), proxy("tcp", os.Args[3])
	var pause Pause
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/_pause":
			pause.begin()
		case r.URL.Path == "/_resume":
			pause.end()
		case !pause.wait():
			w.WriteHeader(http.StatusGatewayTimeout)
		case strings.HasPrefix(r.URL.Path, "/fast"):
			fast.ServeHTTP(w, r)
		default:
			app.ServeHTTP(w, r)
		}
	})
	log.Fatal(http.ListenAndServe(os.Args[1], handler))
}
