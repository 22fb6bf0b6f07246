// SPDX-License-Identifier: Apache-2.0

// Command alertcheck parses the expressions of alert rules and of a dashboard as Prometheus does. It is a module of its own:
// what its one dependency needs is no concern of the other tools.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"text/template"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql/parser"
	"go.yaml.in/yaml/v3"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: alertcheck alerts.yaml dashboard.json")
		os.Exit(2)
	}
	if err := errors.Join(checkAlerts(os.Args[1]), checkDashboard(os.Args[2])); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// rules is a file of rules; members that Prometheus does not know are refused.
type rules struct {
	Groups []struct {
		Name  string `yaml:"name"`
		Rules []struct {
			Alert       string            `yaml:"alert"`
			Expr        string            `yaml:"expr"`
			For         string            `yaml:"for"`
			Labels      map[string]string `yaml:"labels"`
			Annotations map[string]string `yaml:"annotations"`
		} `yaml:"rules"`
	} `yaml:"groups"`
}

func checkAlerts(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	var all rules
	d := yaml.NewDecoder(file)
	d.KnownFields(true)
	if err := d.Decode(&all); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	var errs []error
	n := 0
	for _, g := range all.Groups {
		for _, r := range g.Rules {
			n++
			fail := func(what string, err error) {
				if err != nil {
					errs = append(errs, fmt.Errorf("%s: alert %q: %s: %w", path, r.Alert, what, err))
				}
			}
			e, err := parse(r.Expr)
			fail("expr", err)
			if err == nil && e.Type() != parser.ValueTypeVector {
				fail("expr", fmt.Errorf("it is a %s, not a vector", e.Type()))
			}
			if r.For != "" {
				_, err := model.ParseDuration(r.For)
				fail("for", err)
			}
			for name, text := range r.Annotations {
				_, err := template.New(name).Parse("{{$labels := .}}" + text)
				fail(name, err)
			}
		}
	}
	if n == 0 {
		errs = append(errs, fmt.Errorf("%s: no rules", path))
	}
	return errors.Join(errs...)
}

// variables are what Grafana puts into the dashboard's expressions.
var variables = strings.NewReplacer("$connector", "x", "$__rate_interval", "1m")

func checkDashboard(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var board struct {
		Panels []struct {
			Title   string `json:"title"`
			Targets []struct {
				Expr string `json:"expr"`
			} `json:"targets"`
		} `json:"panels"`
	}
	if err := json.Unmarshal(text, &board); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	var errs []error
	n := 0
	for _, p := range board.Panels {
		for _, t := range p.Targets {
			n++
			if _, err := parse(variables.Replace(t.Expr)); err != nil {
				errs = append(errs, fmt.Errorf("%s: panel %q: %w", path, p.Title, err))
			}
		}
	}
	if n == 0 {
		errs = append(errs, fmt.Errorf("%s: no expressions", path))
	}
	return errors.Join(errs...)
}

func parse(expr string) (parser.Expr, error) { return parser.ParseExpr(expr) }
