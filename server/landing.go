package server

import (
	"net/http"

	"indelible/page"
	"indelible/server/failure"
)

// landing is what a person sees who opens the log's address.
func landing(cfg Config, p *page.Page) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		url := cfg.PublicURL
		if scheme := "http"; url == "" {
			if r.TLS != nil {
				scheme = "https"
			}
			url = scheme + "://" + r.Host
		}
		p.Write(w, page.Facts{
			Origin: cfg.Origin, URL: url, Files: page.Prefix, Keys: cfg.Keys, Size: cfg.Size(), Version: cfg.Version, Health: health(cfg),
			Native: true, RekorV1: cfg.RekorV1 != nil, RekorV2: cfg.RekorV2 != nil, Trust: true,
		})
	}
}

// health is why the log takes no entries, for people; empty if it does.
func health(cfg Config) string {
	if cfg.Ready == nil {
		return ""
	}
	err := cfg.Ready()
	if err == nil {
		return ""
	}
	if why := failure.Reason(err); why != "" {
		return why
	}
	return "its operator's log says why"
}
