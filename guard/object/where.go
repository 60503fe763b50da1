package object

import "indelible/internal/s3"

// Place is an object's place: the object PREFIX/register of
// s3://BUCKET/PREFIX?endpoint=URL&region=R.
type Place struct{ at s3.Place }

// name is the object's, below the prefix.
const name = "register"

// ParsePlace reads a place. It holds no credentials, and a place with some is
// refused without being repeated.
func ParsePlace(s string) (Place, error) {
	p, err := s3.Parse(s, "the register's place")
	return Place{p}, err
}

// String is the place as people read it.
func (p Place) String() string { return p.at.Object(name) }
