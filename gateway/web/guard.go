package web

import (
	"net/http"
	"slices"
	"strings"
)

// guard refuses what a browser sends for a page that has no right to it.
func (h *Handler) guard(next http.Handler) (http.Handler, error) {
	protection := http.NewCrossOriginProtection()
	for _, origin := range h.opts.Origins {
		if err := protection.AddTrustedOrigin(origin); err != nil {
			return nil, err
		}
	}
	inner := protection.Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Cache-Control", "no-store")
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		header.Add("Vary", "Origin")
		if !slices.Contains(h.opts.Hosts, strings.ToLower(hostOf(r.Host))) {
			// A name that leads here although nobody configured it is DNS rebinding.
			http.Error(w, "the host is not one of this gateway's", http.StatusMisdirectedRequest)
			return
		}
		origin := r.Header.Get("Origin")
		trusted := origin != "" && slices.Contains(h.opts.Origins, origin)
		if trusted {
			header.Set("Access-Control-Allow-Origin", origin)
			header.Set("Access-Control-Allow-Headers", "Authorization, Last-Event-ID")
			header.Set("Access-Control-Max-Age", "600")
		}
		if trusted && r.Method == http.MethodOptions {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		if !trusted && foreign(r, origin) {
			http.Error(w, "requests from other sites are refused", http.StatusForbidden)
			return
		}
		inner.ServeHTTP(w, r)
	}), nil
}

// foreign reports whether another site's page sends the request. Browsers say so;
// programs that are none do not.
func foreign(r *http.Request, origin string) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "same-origin", "none":
		return false
	case "":
		// An older browser: an Origin names a page, and must be this host's.
		_, host, _ := strings.Cut(origin, "://")
		return origin != "" && host != r.Host
	}
	return true
}
