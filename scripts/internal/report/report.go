// Package report evaluates and writes the measurements of loads.
package report

import (
	"encoding/json"
	"os"
	"reflect"
	"slices"
)

// Write writes figures to a file as JSON. If file is empty, it does nothing.
func Write(file string, all any) error {
	if file == "" {
		return nil
	}
	text, err := json.MarshalIndent(all, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(text, '\n'), 0o644) //nolint:gosec // for people to read
}

// Middle returns the median of sorted values.
func Middle(sorted []float64) float64 {
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// At returns the value that a share q of sorted values does not exceed. It returns the zero value if there are none.
func At[T any](sorted []T, q float64) (value T) {
	if len(sorted) > 0 {
		value = sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
	}
	return value
}

// Medians combines rounds, whose fields are float64, int or of other types. Each float64 is the median of the rounds,
// each int is their sum, and other fields stay zero.
func Medians[T any](rounds []T) (m T) {
	to := reflect.ValueOf(&m).Elem()
	for i := range to.NumField() {
		var values []float64
		for _, r := range rounds {
			switch from := reflect.ValueOf(r).Field(i); {
			case from.CanFloat():
				values = append(values, from.Float())
			case from.CanInt():
				to.Field(i).SetInt(to.Field(i).Int() + from.Int())
			}
		}
		if slices.Sort(values); len(values) > 0 {
			to.Field(i).SetFloat(Middle(values))
		}
	}
	return m
}
