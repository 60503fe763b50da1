// Package trust serves what package trust of the product makes.
package trust
