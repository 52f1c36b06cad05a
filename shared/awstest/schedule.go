package awstest

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// rotationRules is when a secret is rotated.
type rotationRules struct {
	AutomaticallyAfterDays *int    `json:",omitempty"`
	Duration               *string `json:",omitempty"`
	ScheduleExpression     *string `json:",omitempty"`
}

var (
	rateExpression = regexp.MustCompile(`^rate\((\d+) (hours?|days?)\)$`)
	cronExpression = regexp.MustCompile(`^cron\(0 (\S+) (\S+) (\S+) (\S+) (\S+)\)$`)
	windowDuration = regexp.MustCompile(`^[1-9][0-9]?h$`)
)

func (r *rotationRules) check() error {
	if r.AutomaticallyAfterDays != nil && r.ScheduleExpression != nil {
		return invalidParameter("You can't specify both AutomaticallyAfterDays and ScheduleExpression.")
	}
	if d := r.AutomaticallyAfterDays; d != nil && (*d < 1 || *d > 1000) {
		return invalidParameter("AutomaticallyAfterDays must be between 1 and 1000.")
	}
	if d := r.Duration; d != nil && !windowDuration.MatchString(*d) {
		return invalidParameter("Duration must be a number of hours, as in 3h.")
	}
	if e := r.ScheduleExpression; e != nil {
		if _, ok := parseSchedule(*e); !ok {
			return invalidParameter("Invalid ScheduleExpression: %s. A rate is at least 4 hours; a cron expression has minute 0 and six fields.", *e)
		}
	}
	return nil
}

// next is the end of the day, or the hour, on or before which the rotation
// that follows one at last is due; zero if there is no rule.
func (r *rotationRules) next(last time.Time) time.Time {
	if r.AutomaticallyAfterDays != nil {
		return last.AddDate(0, 0, *r.AutomaticallyAfterDays)
	}
	if r.ScheduleExpression != nil {
		if schedule, ok := parseSchedule(*r.ScheduleExpression); ok {
			return schedule.next(last)
		}
	}
	return time.Time{}
}

type schedule interface{ next(time.Time) time.Time }

// parseSchedule reads the expressions of Secrets Manager. Of cron's extras, L,
// W and # are not supported.
func parseSchedule(e string) (schedule, bool) {
	if m := rateExpression.FindStringSubmatch(e); m != nil {
		n, err := strconv.Atoi(m[1])
		every := rate(time.Duration(n) * time.Hour)
		if strings.HasPrefix(m[2], "day") {
			every *= 24
		}
		return every, err == nil && n <= 1000*24 && time.Duration(every) >= 4*time.Hour
	}
	m := cronExpression.FindStringSubmatch(e)
	if m == nil || (m[2] == "?") == (m[4] == "?") {
		return nil, false
	}
	var c cron
	for i, field := range []struct {
		into     *[]int
		low, top int
		names    string
	}{
		{&c.hours, 0, 23, ""},
		{&c.days, 1, 31, ""},
		{&c.months, 1, 12, "JANFEBMARAPRMAYJUNJULAUGSEPOCTNOVDEC"},
		{&c.weekdays, 1, 7, "SUNMONTUEWEDTHUFRISAT"},
		{&c.years, 1970, 2199, ""},
	} {
		values, ok := cronField(m[i+1], field.low, field.top, field.names)
		if !ok {
			return nil, false
		}
		*field.into = values
	}
	return c, true
}

type rate time.Duration

func (r rate) next(last time.Time) time.Time { return last.Add(time.Duration(r)) }

// cron lists the values that each field allows.
type cron struct{ hours, days, months, weekdays, years []int }

func (c cron) next(last time.Time) time.Time {
	day := last.UTC().Truncate(24 * time.Hour)
	// Four years and a leap day hold every date that a calendar has, but for
	// a year that lies further ahead than anybody schedules.
	for range 5 * 366 {
		if slices.Contains(c.years, day.Year()) && slices.Contains(c.months, int(day.Month())) &&
			slices.Contains(c.days, day.Day()) && slices.Contains(c.weekdays, int(day.Weekday())+1) {
			for _, hour := range c.hours {
				if at := day.Add(time.Duration(hour) * time.Hour); at.After(last) {
					return at
				}
			}
		}
		day = day.AddDate(0, 0, 1)
	}
	return time.Time{}
}

// cronField reads one field: *, ?, values, ranges and steps, by number or name.
func cronField(field string, low, top int, names string) ([]int, bool) {
	number := func(text string) (int, bool) {
		if i := strings.Index(names, strings.ToUpper(text)); len(text) == 3 && i >= 0 && i%3 == 0 {
			return low + i/3, true
		}
		n, err := strconv.Atoi(text)
		return n, err == nil && n >= low && n <= top
	}
	var values []int
	for part := range strings.SplitSeq(field, ",") {
		span, stepText, stepped := strings.Cut(part, "/")
		from, to, step := low, top, 1
		if span != "*" && span != "?" && span != "" {
			first, last, isRange := strings.Cut(span, "-")
			var ok bool
			if from, ok = number(first); !ok {
				return nil, false
			}
			switch {
			case isRange:
				if to, ok = number(last); !ok || to < from {
					return nil, false
				}
			case !stepped:
				to = from
			}
		} else if span == "" && !stepped {
			return nil, false
		}
		if stepped {
			n, err := strconv.Atoi(stepText)
			if err != nil || n < 1 {
				return nil, false
			}
			step = n
		}
		for v := from; v <= to; v += step {
			values = append(values, v)
		}
	}
	slices.Sort(values)
	return slices.Compact(values), true
}
