// Package doctor tries a log as its clients do, and says what is wrong with it.
package doctor
