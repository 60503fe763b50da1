// Package chart tests the Helm chart in charts/indelible: with Helm 3 and Helm 4
// as libraries, with the types of Kubernetes, and by running what it renders.
//
// Each file in charts/indelible/ci is a flavour. What it renders to is in
// testdata, and is written again by
//
//	cd test/chart && go test -run TestRendered -update
package chart
