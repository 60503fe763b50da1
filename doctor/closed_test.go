package doctor_test

import (
	"errors"
	"strings"
	"testing"

	"indelible/doctor"
)

// A log that answers that it has nothing to show was found, and is not well.
// What else says 503 is no log that we know of.
func TestLogWithNothingToShow(t *testing.T) {
	w := newWorld(t)
	const why = "the log is not available, since too few of the log's witnesses cosign at present; try again"
	w.change = answers(503, `{"code":14,"message":"`+why+`","details":[]}`)
	r, err := w.run(w.config())
	if err != nil || others(r) != "checkpoint failed" || !strings.Contains(says(r), "HTTP 503 Service Unavailable: "+why) || !strings.Contains(says(r), "/readyz") || len(r.Wrote) > 0 {
		t.Errorf("%v: [%s]\n%s", err, others(r), says(r))
	}
	if r.Checks[0].Name != "reachable" || r.Checks[0].State != doctor.Passed || strings.Contains(says(r), "proxy") {
		t.Errorf("%+v", r.Checks)
	}
	w.change = answers(503, "<html>no backend</html>")
	if r, err := w.run(w.config()); !errors.Is(err, doctor.ErrUnreachable) || others(r) != "reachable failed" || !strings.Contains(says(r), "A proxy says so") {
		t.Errorf("%v: [%s]\n%s", err, others(r), says(r))
	}
}
