package databrickstest

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The settings of a workspace that bear on its tokens.
const (
	confTokensEnabled    = "enableTokensConfig"
	confMaxTokenLifetime = "maxTokenLifetimeDays"
)

// LimitTokens sets the longest life of new personal access tokens in whole
// days; zero lifts the limit.
func (w *Workspace) LimitTokens(days int) {
	w.set(confMaxTokenLifetime, strconv.Itoa(days))
}

// EnableTokens allows new personal access tokens, or not.
func (w *Workspace) EnableTokens(on bool) { w.set(confTokensEnabled, fmt.Sprint(on)) }

func (w *Workspace) set(key, value string) {
	w.site.server.mu.Lock()
	defer w.site.server.mu.Unlock()
	if w.conf == nil {
		w.conf = map[string]string{}
	}
	w.conf[key] = value
}

func (w *Workspace) maxTokenLifetime() time.Duration {
	days, err := strconv.Atoi(w.conf[confMaxTokenLifetime])
	if err != nil || days <= 0 {
		return MaxLifetime
	}
	return min(time.Duration(days)*24*time.Hour, MaxLifetime)
}

// getWorkspaceConf answers the settings that the query names; one that was
// never set is null.
func getWorkspaceConf(r *request) (reply, *failure) {
	if err := r.requireAdmin(); err != nil {
		return reply{}, err
	}
	answer := map[string]*string{}
	for _, key := range strings.Split(r.query.Get("keys"), ",") {
		switch key {
		case confTokensEnabled, confMaxTokenLifetime:
		default:
			return reply{}, invalid("setting %q is not simulated", key)
		}
		answer[key] = nil
		if value, ok := r.site.workspace.conf[key]; ok {
			answer[key] = &value
		}
	}
	return reply{http.StatusOK, answer}, nil
}
