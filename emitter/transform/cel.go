// SPDX-License-Identifier: Apache-2.0

package transform

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/ext"
	"github.com/google/cel-go/interpreter"
)

// expression is a condition on records, or a text made of them, in the Common Expression Language. It is compiled once;
// only what it asks for is read: one that asks for topic, key or headers alone never makes the value.
type expression struct {
	source  string
	program cel.Program
	record  recordVars
}

// result is what an expression is to give.
type result uint8

const (
	conditionResult result = iota // true or false
	topicResult                   // a text or null
)

// nullName stands for the literal null: as a variable it compares equal to the nulls of records, whose fields are null
// too. It is also of any type, so that both sides of ?: need not be of one.
const nullName = "__null"

const (
	// longestExpression is the most characters of an expression.
	longestExpression = 20_000
	// dearestRecord is what an expression may cost for one record, in CEL's units: one for each operation, and one for each
	// ten characters that it looks at. It takes in the order of a second.
	dearestRecord = 5_000_000
)

// growing are functions whose result may be far larger than what they are given.
var growing = []string{"replace", "join", "format"}

// The environment of all expressions.
var celEnv, errCelEnv = cel.NewEnv(
	cel.Variable("value", cel.DynType), cel.Variable("key", cel.DynType),
	cel.Variable("valueSchema", cel.DynType), cel.Variable("keySchema", cel.DynType),
	cel.Variable("topic", cel.StringType), cel.Variable("header", cel.DynType), cel.Variable("headers", cel.DynType),
	cel.Variable(nullName, cel.DynType),
	cel.CrossTypeNumericComparisons(true),
	cel.ParserExpressionSizeLimit(longestExpression),
	ext.Strings(),
)

// compileExpression compiles an expression, or says what is wrong with it.
func compileExpression(text string, r result) (*expression, error) {
	if errCelEnv != nil {
		return nil, fmt.Errorf("set up the expression language: %w", errCelEnv)
	}
	parsed, issues := celEnv.Parse(text)
	if issues.Err() != nil {
		return nil, expressionError(text, issues.Err())
	}
	factory := ast.NewExprFactory()
	ast.PostOrderVisit(parsed.NativeRep().Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() == ast.LiteralKind && e.AsLiteral() == types.NullValue {
			e.SetKindCase(factory.NewIdent(e.ID(), nullName))
		}
	}))
	checked, issues := celEnv.Check(parsed)
	if issues.Err() != nil {
		return nil, expressionError(text, issues.Err())
	}
	want := map[result]*cel.Type{conditionResult: cel.BoolType, topicResult: cel.StringType}[r]
	if out := checked.OutputType(); !out.IsExactType(want) && !out.IsExactType(cel.DynType) {
		return nil, expressionError(text, fmt.Errorf("it gives a value of type %s, and not %s", out, want))
	}
	options := []cel.ProgramOption{cel.EvalOptions(cel.OptOptimize)}
	if unbounded(checked) {
		options = append(options, cel.CostLimit(dearestRecord))
	}
	program, err := celEnv.Program(checked, options...)
	if err != nil {
		return nil, expressionError(text, err)
	}
	return &expression{source: text, program: program}, nil
}

// unbounded says whether an expression may take much longer than reading it and the record: it has loops, or calls that make
// large texts. Counting the cost of the others would make them slower for nothing.
func unbounded(checked *cel.Ast) bool {
	found := false
	ast.PostOrderVisit(checked.NativeRep().Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		found = found || e.Kind() == ast.ComprehensionKind || e.Kind() == ast.CallKind && slices.Contains(growing, e.AsCall().FunctionName())
	}))
	return found
}

func expressionError(text string, cause error) error {
	return fmt.Errorf("Failed to parse expression '%s': %s", beginning(text), strings.ReplaceAll(beginning(cause.Error()), nullName, "null")) //nolint:staticcheck // the original's words
}

// beginning is what messages show of a text.
func beginning(s string) string {
	const most = 2000
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "..."
}

// holds evaluates a condition.
func (x *expression) holds(r *Record) (bool, error) {
	out, err := x.eval(r)
	if err != nil {
		return false, err
	}
	if b, ok := out.(types.Bool); ok {
		return bool(b), nil
	}
	return false, x.refuse(fmt.Errorf("Value '%v' returned by the expression is not a Boolean", out))
}

// text evaluates an expression that gives a text; ok is false where it gives null.
func (x *expression) text(r *Record) (text string, ok bool, err error) {
	out, err := x.eval(r)
	if err != nil {
		return "", false, err
	}
	switch v := out.(type) {
	case types.String:
		return strings.Clone(string(v)), true, nil
	case noValue, types.Null:
		return "", false, nil
	}
	return "", false, x.refuse(fmt.Errorf("Value '%v' returned by the expression is not a String", out))
}

func (x *expression) eval(r *Record) (out any, err error) {
	x.record = recordVars{r: r}
	v, _, err := x.program.Eval(&x.record)
	if err == nil {
		err = x.record.err
	}
	x.record.r = nil
	var cancelled interpreter.EvalCancelledError
	if errors.As(err, &cancelled) && cancelled.Cause == interpreter.CostLimitExceeded {
		err = fmt.Errorf("it takes more than %d steps for the record: it has loops within loops, or makes a very large text", dearestRecord)
	}
	if err != nil {
		return nil, x.refuse(err)
	}
	return v, nil
}

// refuse is the record's refusal. Errors of the lower levels, which may pass, stay what they are.
func (x *expression) refuse(err error) error {
	if x.record.err != nil && errors.Is(err, x.record.err) {
		return err
	}
	return &Error{Thrown: debeziumException, Message: fmt.Sprintf("Error while evaluating expression '%s': %v", beginning(x.source), err)}
}

// recordVars are the variables of an expression, made when they are asked for.
type recordVars struct {
	r   *Record
	err error // of making the value
}

var _ cel.Activation = (*recordVars)(nil)

// ResolveName makes one variable.
func (v *recordVars) ResolveName(name string) (any, bool) {
	switch name {
	case "value":
		if err := v.r.Load(); err != nil {
			v.err = err
			return types.WrapErr(err), true
		}
		return celValue(v.r.Data, v.r.ValueType, v.r.Value), true
	case "key":
		return celValue(v.r.Data, v.r.KeyType, v.r.Key), true
	case "valueSchema":
		return celSchema(v.r.ValueType), true
	case "keySchema":
		return celSchema(v.r.KeyType), true
	case "topic":
		return types.String(v.r.Topic), true
	case "header", "headers":
		return headersValue{r: v.r}, true
	case nullName:
		return noValue{}, true
	}
	return nil, false
}

// Parent is none.
func (v *recordVars) Parent() cel.Activation { return nil }
