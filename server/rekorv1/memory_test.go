package rekorv1_test

import (
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
)

// TestMemoryOfHostileBodies: what is refused costs a few times its size, however
// many values it has. Half of that is for the body itself, as it arrives.
func TestMemoryOfHostileBodies(t *testing.T) {
	w := over(t, &fakeLog{})
	for name, c := range map[string]struct{ path, before, again, after string }{
		"members":              {entriesPath, `{`, `"0":1,`, `"z":1}`},
		"members after a kind": {entriesPath, `{"kind":"hashedrekord",`, `"0":1,`, `"z":1}`},
		"objects":              {entriesPath, `{"kind":"dsse","apiVersion":"0.0.1","spec":{"proposedContent":{"verifiers":[`, `{},`, `{}]}}}`},
		"verifiers":            {entriesPath, `{"kind":"dsse","apiVersion":"0.0.1","spec":{"proposedContent":{"envelope":"{}","verifiers":[`, `"",`, `""]}}}`},
		"signatures in text":   {entriesPath, `{"kind":"dsse","apiVersion":"0.0.1","spec":{"proposedContent":{"verifiers":["AA=="],"envelope":"{\"payloadType\":\"a\",\"payload\":\"\",\"signatures\":[`, `{},`, `{}]}"}}}`},
		"signatures":           {entriesPath, `{"kind":"intoto","apiVersion":"0.0.2","spec":{"content":{"envelope":{"payloadType":"a","payload":"","signatures":[`, `{},`, `{}]}}}}`},
		"members of a spec":    {entriesPath, `{"kind":"rekord","apiVersion":"0.0.1","spec":{`, `"0":1,`, `"z":1}}`},
		"a kind":               {entriesPath, `{"kind":"`, `kind`, `"}`},
		"lists":                {entriesPath, `[`, `[],`, `[]]`},
		"entries":              {retrievePath, `{"entries":[`, `{},`, `{}]}`},
		"members of an entry":  {retrievePath, `{"entries":[{`, `"0":1,`, `"z":1}]}`},
		"indexes":              {retrievePath, `{"logIndexes":[`, `1,`, `1]}`},
	} {
		t.Run(name, func(t *testing.T) {
			body := c.before + strings.Repeat(c.again, (maxBody-len(c.before)-len(c.after))/len(c.again)) + c.after
			if took := allocatedFor(t, w, c.path, body); took > 8*uint64(len(body)) {
				t.Errorf("%d bytes for a body of %d", took, len(body))
			}
		})
	}
}

// allocatedFor is how much memory a request took that is refused.
func allocatedFor(t *testing.T, w *world, path, body string) uint64 {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	rec := httptest.NewRecorder()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	w.api.ServeHTTP(rec, r)
	runtime.ReadMemStats(&after)
	if rec.Code != http.StatusBadRequest && rec.Code != http.StatusUnprocessableEntity {
		t.Errorf("%d %.300s", rec.Code, rec.Body)
	}
	return after.TotalAlloc - before.TotalAlloc
}
