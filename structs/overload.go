package structs

import (
	"errors"
	"net/http"
	"strings"
	"time"
)

// retryAfterText stands between ErrOverloaded's text and the pause.
const retryAfterText = "; retry after "

// Overloaded is the answer to a call that is refused so that the others can be served. The caller may try again after the
// pause, and is told so.
func Overloaded(pause time.Duration) error {
	return Coded(http.StatusTooManyRequests, "%w%s%s", ErrOverloaded, retryAfterText, pause)
}

// RetryAfter is the pause that a server asks for with an answer of Overloaded; 0 if err is none.
func RetryAfter(err error) time.Duration {
	if !errors.Is(err, ErrOverloaded) {
		return 0
	}
	_, text, _ := strings.Cut(err.Error(), retryAfterText)
	text, _, _ = strings.Cut(text, " ") // further hops may add words
	pause, perr := time.ParseDuration(text)
	if perr != nil || pause < 0 {
		return 0
	}
	return min(pause, maxRetryAfter)
}

// maxRetryAfter keeps a server from sending its callers away for long.
const maxRetryAfter = time.Minute
