module indelible/test/monitoring

go 1.27.0

toolchain go1.27.3

replace indelible => ../..

require (
	go.yaml.in/yaml/v3 v3.0.6
	indelible v0.0.0
)
