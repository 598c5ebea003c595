// Package report draws what simulations came to: a page with tables and plots.
// It stands beside the request's way.
//
// In come results of package simulate; out goes one HTML page that needs
// nothing else, no scripts and no network: the plots are SVG inside of it.
// Equal results give equal bytes.
//
// Its tests need nothing: go test ./simulate/report.
package report
