package awstest

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

func prepareGetCallerIdentity(*Server, *form) (queryAction, error) {
	return queryAction{perform: func(c queryCall) ([]element, error) {
		home := accountOf(c.caller)
		role := c.caller[strings.LastIndexByte(c.caller, '/')+1:]
		return []element{
			{name: "Arn", text: "arn:aws:sts::" + home + ":assumed-role/" + role + "/test"},
			{name: "UserId", text: "AROA" + strings.ToUpper(role) + ":test"},
			{name: "Account", text: home},
		}, nil
	}}, nil
}

const (
	minTokenSeconds     = 60
	maxTokenSeconds     = 3600
	defaultTokenSeconds = 300
)

func prepareGetWebIdentityToken(s *Server, f *form) (queryAction, error) {
	audience := f.list("Audience")
	algorithm := f.take("SigningAlgorithm")
	duration := f.take("DurationSeconds")
	seconds := defaultTokenSeconds
	if duration != "" {
		n, err := strconv.Atoi(duration)
		if err != nil || n < minTokenSeconds || n > maxTokenSeconds {
			return queryAction{}, validationError("DurationSeconds must be between %d and %d", minTokenSeconds, maxTokenSeconds)
		}
		seconds = n
	}
	switch {
	case len(audience) == 0 || len(audience) > 10:
		return queryAction{}, validationError("Audience must have between 1 and 10 members")
	case slices.ContainsFunc(audience, func(a string) bool { return a == "" || len(a) > 1000 }):
		return queryAction{}, validationError("an audience has 1 to 1000 characters")
	case algorithm != "RS256" && algorithm != "ES384":
		return queryAction{}, validationError("SigningAlgorithm must be RS256 or ES384")
	}
	return queryAction{
		access: Access{Conditions: map[string][]string{
			"sts:IdentityTokenAudience": audience,
			"sts:SigningAlgorithm":      {algorithm},
			"sts:DurationSeconds":       {strconv.Itoa(seconds)},
		}},
		perform: func(c queryCall) ([]element, error) {
			expires := c.now.Add(time.Duration(seconds) * time.Second)
			token, err := s.signIdentity(c, audience, algorithm, expires)
			if err != nil {
				return nil, err
			}
			return []element{
				{name: "WebIdentityToken", text: token},
				{name: "Expiration", text: expires.UTC().Format(time.RFC3339)},
			}, nil
		},
	}, nil
}

func validationError(format string, args ...any) error {
	return fail(http.StatusBadRequest, "ValidationError", format, args...)
}
