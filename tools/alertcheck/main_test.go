// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestDeployedFiles(t *testing.T) {
	if err := checkAlerts("../../deploy/alerts.yaml"); err != nil {
		t.Error(err)
	}
	if err := checkDashboard("../../deploy/grafana-dashboard.json"); err != nil {
		t.Error(err)
	}
}

func TestBrokenRulesAreRefused(t *testing.T) {
	for want, rule := range map[string]string{
		"expr":      `{alert: A, expr: "sum by (x (y)"}`,
		"a vector":  `{alert: A, expr: "1 + 1"}`,
		"for":       `{alert: A, expr: "x > 1", for: soon}`,
		"runbok":    `{alert: A, expr: "x > 1", runbok: y}`,
		"summary":   `{alert: A, expr: "x > 1", annotations: {summary: "{{ $labels.x "}}`,
		"no rules":  ``,
		"bad_name+": `{alert: A, expr: "bad_name+"}`,
	} {
		path := filepath.Join(t.TempDir(), "alerts.yaml")
		text := "groups: [{name: g, rules: [" + rule + "]}]"
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		err := checkAlerts(path)
		if err == nil || want != "bad_name+" && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", rule, err)
		}
	}
}
