// Argo CD: health.lua, discovery.lua and action.lua, run as its util/lua does: with the base, package and table libraries, time and
// date of os where a script requires it, and nothing else, for a second at most.

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"time"

	jsonpatch "github.com/evanphx/json-patch/v5"
	lua "github.com/yuin/gopher-lua"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	luajson "layeh.com/gopher-json"
)

// argoCD runs the scripts of a directory such as its resource_customizations.
type argoCD struct{ customizations string }

// action is what a person is offered in the user interface.
type action struct {
	Name      string `json:"name"`
	Disabled  bool   `json:"disabled"`
	IconClass string `json:"iconClass,omitempty"`
}

// acted is what an action makes of an object, and the merge patch that Argo CD sends for it.
type acted struct {
	Object json.RawMessage `json:"object"`
	Patch  json.RawMessage `json:"patch"`
}

func (a argoCD) health(object *unstructured.Unstructured) (any, error) {
	// Argo CD's engine asks no script about these.
	if object.GetDeletionTimestamp() != nil {
		return verdict{"Progressing", "Pending deletion"}, nil
	}
	text, err := a.run(object, "health.lua")
	if err != nil {
		return nil, err
	}
	var said verdict
	if err := json.Unmarshal(text, &said); err != nil {
		return nil, err
	}
	switch said.Status {
	case "Unknown", "Progressing", "Suspended", "Healthy", "Degraded", "Missing":
		return said, nil
	}
	return nil, fmt.Errorf("%q is no health of Argo CD's", said.Status)
}

func (a argoCD) actions(object *unstructured.Unstructured) (any, error) {
	text, err := a.run(object, "actions/discovery.lua")
	if err != nil {
		return nil, err
	}
	var found map[string]action
	if err := json.Unmarshal(text, &found); err != nil {
		return nil, err
	}
	all := make([]action, 0, len(found))
	for name, action := range found {
		action.Name = name
		all = append(all, action)
	}
	sort.Slice(all, func(i, j int) bool { return all[i].Name < all[j].Name })
	return all, nil
}

func (a argoCD) act(name string) judge {
	return func(object *unstructured.Unstructured) (any, error) {
		before, err := object.MarshalJSON()
		if err != nil {
			return nil, err
		}
		text, err := a.run(object, filepath.Join("actions", name, "action.lua"))
		if err != nil {
			return nil, err
		}
		var after map[string]any
		if err := json.Unmarshal(text, &after); err != nil {
			return nil, err
		}
		restoreEmpty(after, object.Object)
		if text, err = json.Marshal(after); err != nil {
			return nil, err
		}
		patch, err := jsonpatch.CreateMergePatch(before, text)
		return acted{text, patch}, err
	}
}

// restoreEmpty makes objects of what Lua, whose tables are both, gives back as empty arrays.
func restoreEmpty(after, before map[string]any) {
	for key, old := range before {
		switch old := old.(type) {
		case map[string]any:
			switch value := after[key].(type) {
			case map[string]any:
				restoreEmpty(value, old)
			case []any:
				if len(value) == 0 {
					after[key] = map[string]any{}
				}
			}
		case []any:
			values, _ := after[key].([]any)
			for i := range min(len(values), len(old)) {
				value, isObject := values[i].(map[string]any)
				if old, wasObject := old[i].(map[string]any); isObject && wasObject {
					restoreEmpty(value, old)
				}
			}
		}
	}
}

// run gives back as JSON what a script of the object's kind returns.
func (a argoCD) run(object *unstructured.Unstructured, script string) ([]byte, error) {
	kind := object.GroupVersionKind()
	text, err := os.ReadFile(filepath.Join(a.customizations, kind.Group, kind.Kind, script))
	if err != nil {
		return nil, err
	}
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	for _, library := range []struct {
		name string
		open lua.LGFunction
	}{{lua.LoadLibName, lua.OpenPackage}, {lua.BaseLibName, lua.OpenBase}, {lua.TabLibName, lua.OpenTable}} {
		call := lua.P{Fn: state.NewFunction(library.open), Protect: true}
		if err := state.CallByParam(call, lua.LString(library.name)); err != nil {
			return nil, err
		}
	}
	state.PreloadModule(lua.OsLibName, safeOS)
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	state.SetContext(ctx)
	state.SetGlobal("actionParams", state.NewTable())
	state.SetGlobal("obj", decoded(state, object.Object))
	if err := state.DoString(string(text)); err != nil {
		return nil, err
	}
	table, ok := state.Get(-1).(*lua.LTable)
	if !ok {
		return nil, errors.New("the script returns no table")
	}
	return luajson.Encode(table)
}

// safeOS is all that Argo CD leaves of os.
func safeOS(state *lua.LState) int {
	whole := lua.NewState()
	defer whole.Close()
	date := whole.GetField(whole.GetGlobal("os"), "date").(*lua.LFunction).GFunction
	now := whole.GetField(whole.GetGlobal("os"), "time").(*lua.LFunction).GFunction
	state.Push(state.SetFuncs(state.NewTable(), map[string]lua.LGFunction{"date": date, "time": now}))
	return 1
}

// decoded is gopher-json's DecodeValue with integers, as Argo CD has it.
func decoded(state *lua.LState, value any) lua.LValue {
	switch value := value.(type) {
	case bool:
		return lua.LBool(value)
	case float64:
		return lua.LNumber(value)
	case int64:
		return lua.LNumber(value)
	case string:
		return lua.LString(value)
	case []any:
		table := state.CreateTable(len(value), 0)
		for _, item := range value {
			table.Append(decoded(state, item))
		}
		return table
	case map[string]any:
		table := state.CreateTable(0, len(value))
		for key, item := range value {
			table.RawSetH(lua.LString(key), decoded(state, item))
		}
		return table
	}
	return lua.LNil
}
