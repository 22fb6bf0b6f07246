// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"log/slog"
	"math"
	"time"

	"freshet/connect"
	"freshet/internal/loglevel"
)

// openLog makes the logger of the process, as the flags say.
func (a *app) openLog() error {
	var err error
	if a.levels, err = loglevel.New(a.logLevel); err != nil {
		return usagef("--log-level %q is none of debug, info, warn, error, off", a.logLevel)
	}
	o := &slog.HandlerOptions{Level: slog.Level(math.MinInt), ReplaceAttr: mask} // levels decides
	switch a.logFormat {
	case "text":
		a.log = slog.New(a.levels.Handler(slog.NewTextHandler(a.Err, o)))
	case "json":
		a.log = slog.New(a.levels.Handler(slog.NewJSONHandler(a.Err, o)))
	default:
		return usagef("--log-format %q is none of text, json", a.logFormat)
	}
	return nil
}

// mask takes passwords out of texts and errors, whoever logs them.
func mask(_ []string, attr slog.Attr) slog.Attr {
	switch v := attr.Value; v.Kind() {
	case slog.KindString:
		attr.Value = slog.StringValue(connect.RedactText(v.String()))
	case slog.KindDuration:
		attr.Value = slog.StringValue(v.Duration().Round(time.Microsecond).String())
	case slog.KindAny:
		if err, ok := v.Any().(error); ok {
			attr.Value = slog.StringValue(connect.RedactText(err.Error()))
		}
	}
	return attr
}
