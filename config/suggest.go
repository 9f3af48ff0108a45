package config

import "strings"

// maxNameShown bounds how much of a name or value from a file is repeated in a message.
const maxNameShown = 64

// nearest returns the one of names that a typing mistake could have turned into name, or "".
func nearest(name string, names []string) string {
	if len(name) > maxNameShown {
		return ""
	}
	// A third of the letters wrong is another word.
	best, limit := "", len(name)/3+1
	for _, candidate := range names {
		if d := distance(strings.ToLower(name), candidate); d < limit {
			best, limit = candidate, d
		}
	}
	return best
}

// distance is the number of letters to insert, remove or replace to make b of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}

func clip(s string) string {
	if len(s) <= maxNameShown {
		return s
	}
	return s[:maxNameShown] + "..."
}
