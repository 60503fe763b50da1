package feeder

import (
	"fmt"

	"indelible/checkpoint"
	"indelible/internal/redact"
)

// Log is a log that is polled.
type Log struct {
	Origin string
	Keys   []checkpoint.Verifier // one of which must have signed; a list's have the name Origin
	URL    string
}

// maxLogs bounds memory: about a megabyte for each, if all of them are hostile.
const maxLogs = 1000

// ParseList reads a list of logs: the log lines of a tlog-policy file.
func ParseList(data []byte) ([]Log, error) {
	policy, err := checkpoint.ParsePolicy(data)
	if err != nil {
		return nil, err
	}
	if policy.Quorum != "none" || len(policy.Witnesses) > 0 {
		return nil, fmt.Errorf("a list of logs to look at has log lines, and \"quorum none\"; this one has %d witnesses and the quorum %q", len(policy.Witnesses), policy.Quorum)
	}
	var logs []Log
	at := make(map[string]int)
	for _, l := range policy.Logs {
		origin := l.Key.Name()
		i, known := at[origin]
		switch {
		case l.URL == "":
			return nil, fmt.Errorf("log %s has no URL to look at", origin)
		case !known:
			at[origin] = len(logs)
			logs = append(logs, Log{Origin: origin, Keys: []checkpoint.Verifier{l.Key}, URL: l.URL})
		case logs[i].URL != l.URL:
			return nil, fmt.Errorf("log %s has two URLs, %s and %s", origin, redact.URL(logs[i].URL), redact.URL(l.URL))
		default:
			logs[i].Keys = append(logs[i].Keys, l.Key)
		}
	}
	if len(logs) > maxLogs {
		return nil, fmt.Errorf("%d logs; at most %d can be looked at", len(logs), maxLogs)
	}
	return logs, nil
}
