module indelible/test/browser

go 1.27.0

toolchain go1.27.3

replace indelible => ../..

require indelible v0.0.0

require (
	github.com/transparency-dev/merkle v0.0.2 // indirect
	golang.org/x/sync v0.25.0 // indirect
	golang.org/x/time v0.16.0 // indirect
)
