package policy

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"databricks-credential-rotation/shared/pattern"
)

// units of durations, the largest first.
var units = []struct {
	letter string
	length time.Duration
}{{"d", day}, {"h", time.Hour}, {"m", time.Minute}, {"s", time.Second}}

// MaxDuration is the longest duration that a policy may name: ten years.
const MaxDuration = 3650 * day

// ParseDuration reads a duration in one unit: days, hours, minutes or seconds.
func ParseDuration(text string) (time.Duration, error) {
	for _, unit := range units {
		digits, ok := strings.CutSuffix(text, unit.letter)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(digits, 10, 64)
		switch {
		case err != nil || n <= 0 || digits[0] == '+':
			return 0, fmt.Errorf("%s is no duration such as 30d, 24h, 90m or 45s", quote(text))
		case n > int64(MaxDuration/unit.length):
			return 0, fmt.Errorf("%s is over the maximum of %s", text, FormatDuration(MaxDuration))
		}
		return time.Duration(n) * unit.length, nil
	}
	return 0, fmt.Errorf("%s is no duration such as 30d, 24h, 90m or 45s", quote(text))
}

// FormatDuration is a duration as a document has it, in the largest unit that
// needs no fraction. One that a document cannot have is shown as Go does.
func FormatDuration(d time.Duration) string {
	for _, unit := range units {
		if d > 0 && d%unit.length == 0 {
			return strconv.FormatInt(int64(d/unit.length), 10) + unit.letter
		}
	}
	return d.String()
}

// UnmarshalText reads a type and an id, such as warehouses/abc123.
func (o *Object) UnmarshalText(text []byte) error {
	var ok bool
	if o.Type, o.ID, ok = strings.Cut(string(text), "/"); !ok || o.Type == "" || o.ID == "" {
		return errors.New("must be a type and an id, such as warehouses/abc123")
	}
	return nil
}

// MarshalText is the form in a document.
func (o Object) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// UnmarshalText reads a type and a full name, such as schema main.raw.
func (s *Securable) UnmarshalText(text []byte) error {
	var ok bool
	if s.Type, s.Name, ok = strings.Cut(string(text), " "); !ok || s.Type == "" || s.Name == "" {
		return errors.New("must be a type and a full name, such as schema main.raw")
	}
	return nil
}

// MarshalText is the form in a document.
func (s Securable) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads a day such as 2027-01-31.
func (d *Date) UnmarshalText(text []byte) error {
	t, err := time.Parse(time.DateOnly, string(text))
	if err != nil {
		return fmt.Errorf("there is no day %s", quote(string(text)))
	}
	d.Time = t
	return nil
}

// MarshalText is the form in a document.
func (d Date) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// parsePrefix reads a network. What lies behind its length must be zero, or
// nobody can tell which of the two was meant.
func parsePrefix(text string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(text)
	switch {
	case err != nil:
		return p, fmt.Errorf("must be a network such as 203.0.113.0/24, not %s", quote(text))
	case p.Addr().Is4In6():
		return p, fmt.Errorf("must be written as an IPv4 network, not %s", quote(text))
	case p != p.Masked():
		return p, fmt.Errorf("must be %s or a longer prefix: %s has bits behind its length", p.Masked(), text)
	}
	return p, nil
}

// sharePattern matches whole percents.
var sharePattern = pattern.New(`^([1-9][0-9]?|100)%$`)

func parseShare(text string) (float64, error) {
	if !sharePattern.MatchString(text) {
		return 0, errors.New("must be a share from 1% to 100%, in whole percent")
	}
	n, _ := strconv.Atoi(strings.TrimSuffix(text, "%")) // it matches
	return float64(n) / 100, nil
}

func formatShare(share float64) string {
	return strconv.Itoa(int(math.Round(share*100))) + "%"
}
