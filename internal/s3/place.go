package s3

import (
	"fmt"
	"net/url"
	"path"
	"strings"
)

// Place is a bucket and what its keys begin with: s3://BUCKET/PREFIX?endpoint=URL&region=R.
type Place struct {
	Bucket   string
	Prefix   string   // without slashes at its ends
	Endpoint *url.URL // without a path; Amazon's if the place names none
	Region   string   // empty: from the environment, else us-east-1
}

const amazon = "https://s3.amazonaws.com"

// Parse reads a place. It holds no credentials: a place with some is refused, and
// the error does not repeat it. Errors begin with what, such as "the register's place".
func Parse(s, what string) (Place, error) {
	u, err := url.Parse(s)
	if err != nil || u.User != nil {
		return Place{}, fmt.Errorf("%s is not of the form s3://BUCKET/PREFIX?endpoint=URL&region=R; "+
			"credentials come from the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY), or from ~/.aws/credentials", what)
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil || u.Scheme != "s3" || u.Host == "" || u.Fragment != "" {
		return Place{}, fmt.Errorf("%s %q is not of the form s3://BUCKET/PREFIX?endpoint=URL&region=R", what, s)
	}
	p := Place{Bucket: u.Host, Prefix: strings.Trim(path.Clean("/"+u.Path), "/"), Region: query.Get("region")}
	endpoint := amazon
	for name, values := range query {
		if name != "endpoint" && name != "region" || len(values) != 1 || values[0] == "" {
			return Place{}, fmt.Errorf("%s %q: after the ? come endpoint and region, each once, and not %q", what, s, name)
		}
		if name == "endpoint" {
			endpoint = values[0]
		}
	}
	p.Endpoint, err = parseEndpoint(endpoint, what)
	return p, err
}

func parseEndpoint(s, what string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil || u.User != nil {
		return nil, fmt.Errorf("%s: its endpoint is not a URL such as https://s3.example.com", what)
	}
	if u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("%s: its endpoint %q is not a URL such as https://s3.example.com, without a path", what, s)
	}
	return u, nil
}

// Key is the key of an object below the prefix.
func (p Place) Key(name string) string { return path.Join(p.Prefix, name) }

// String is the place as people read it.
func (p Place) String() string { return p.Object("") }

// Object is an object's place as people read it.
func (p Place) Object(name string) string {
	text := fmt.Sprintf("s3://%s/%s", p.Bucket, p.Key(name))
	if p.Endpoint.String() == amazon {
		return text
	}
	return text + " at " + p.Endpoint.Host
}
