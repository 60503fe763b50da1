// Package browser has tests of the log's page in a headless Chromium. They need
// Node.js and Chromium: CHROMIUM names the program, by default chromium.
//
// With -artifacts, the pictures of the pages are kept; go test says where.
package browser
