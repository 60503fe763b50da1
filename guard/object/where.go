package object

import (
	"fmt"
	"net/url"
	"path"
	"strings"
)

// Place is an object's place: s3://BUCKET/PREFIX?endpoint=URL&region=R.
type Place struct {
	Bucket   string
	Key      string   // PREFIX/register
	Endpoint *url.URL // without a path; Amazon's where the place names none
	Region   string   // empty: from the environment, else us-east-1
}

const amazon = "https://s3.amazonaws.com"

// ParsePlace reads a place. It holds no credentials, and a place with some is
// refused without being repeated.
func ParsePlace(s string) (Place, error) {
	u, err := url.Parse(s)
	if err != nil || u.User != nil {
		return Place{}, fmt.Errorf("the register's place is not of the form s3://BUCKET/PREFIX?endpoint=URL&region=R; " +
			"credentials come from the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY), or from ~/.aws/credentials")
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil || u.Scheme != "s3" || u.Host == "" || u.Fragment != "" {
		return Place{}, fmt.Errorf("the register's place %q is not of the form s3://BUCKET/PREFIX?endpoint=URL&region=R", s)
	}
	p := Place{Bucket: u.Host, Key: path.Join(strings.Trim(u.Path, "/"), "register"), Region: query.Get("region")}
	endpoint := amazon
	for name, values := range query {
		if name != "endpoint" && name != "region" || len(values) != 1 || values[0] == "" {
			return Place{}, fmt.Errorf("the register's place %q: after the ? come endpoint and region, each once, and not %q", s, name)
		}
		if name == "endpoint" {
			endpoint = values[0]
		}
	}
	p.Endpoint, err = parseEndpoint(endpoint)
	return p, err
}

func parseEndpoint(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil || u.User != nil {
		return nil, fmt.Errorf("the register's endpoint is not a URL such as https://s3.example.com")
	}
	if u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("the register's endpoint %q is not a URL such as https://s3.example.com, without a path", s)
	}
	return u, nil
}

// String is the place as people read it.
func (p Place) String() string {
	if p.Endpoint.String() == amazon {
		return fmt.Sprintf("s3://%s/%s", p.Bucket, p.Key)
	}
	return fmt.Sprintf("s3://%s/%s at %s", p.Bucket, p.Key, p.Endpoint.Host)
}
