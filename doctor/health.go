package doctor

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// health asks the log whether it takes entries. Other logs than ours do not say,
// and nothing is noted of them.
func (e *examination) health(ctx context.Context) {
	const name, path = "health", "/healthz"
	got, err := e.asker.ask(ctx, http.MethodGet, path, nil)
	var said struct {
		Status  string `json:"status"`
		Message string `json:"message"`
	}
	if err != nil || json.Unmarshal(got.body, &said) != nil {
		return // what is wrong with the connection, the next checks say
	}
	switch said.Status {
	case "SERVING":
		e.passed(name, "the log says that it takes entries")
	case "NOT_SERVING":
		e.unwell = true
		e.failed(name, doReadyz, fmt.Errorf("the log says that it takes no entries: GET %s%s: %s", e.asker.url, path, cmp.Or(said.Message, "it does not say why")))
	}
}

const doReadyz = "Its operator sees the cause at /readyz of the log's admin port, and in its log."

// skipsAdds notes that nothing is added to a log that takes nothing.
func (e *examination) skipsAdds(name string) {
	e.skipped(name, "", "it is served; nothing is added, since the log says that it takes no entries (health)")
}

// remedies are what to do about what a log of this product says of itself. What
// it says is the cause: neither a proxy nor a cache in front of it says that. Of
// several that match, the first counts.
func remedies() [][2]string {
	return [][2]string{
		{"the log is poisoned", "The log found a contradiction, and only its operator can end that: logserver guard status says what is known where, and the server's log the way out."},
		{"the clock is wrong", "Set the clock of the log's server by NTP; logserver guard status compares it with the log's last entry."},
		{"the log's witnesses cosign", "The log's witnesses do not answer or refuse: its operator sees what each of them says at /readyz of the log's admin port."},
		{"cannot append to its database", "It is the log's database, and nothing in front of the log: it does not answer, or takes no writes. " + doReadyz},
		{"cannot publish what it appended", "It is the log's database, register or key, and nothing in front of the log. " + doReadyz},
		{"the database holds damaged data", "The log's database does not return what was logged. Its operator runs logserver fsck, and restores it from a backup or a mirror."},
		{"the log is stopping", "The server is being stopped or started again: try again in a moment."},
		{"the log is not available", "It is the log itself, and nothing in front of it. " + doReadyz},
		{"timed out; try again", "The log's database is slow, or does not answer. " + doReadyz},
		{"was not published in time", "The log's database is slow, or does not answer. " + doReadyz},
		{"the queue is full", "The log gets more than it can take: try again in a moment."},
		{"internal error; the server's log says more", "Its operator finds the cause in the server's log."},
	}
}

// remedy is what to do about an error that the log itself told; empty if it is no
// such error.
func remedy(err error) string {
	text := err.Error()
	for _, r := range remedies() {
		if strings.Contains(text, r[0]) {
			return r[1]
		}
	}
	return ""
}
