// Package monitoring tests deploy/monitoring with Prometheus itself: that the rules
// and their alerts are right, and that each expression of the rules and of the
// dashboards finds series on servers that run. It needs the programs prometheus and
// promtool. Grafana is not run: that a panel draws what its expression returns is
// not tested.
package monitoring
