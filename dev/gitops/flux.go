// Flux: the health check expressions of its Kustomizations, read and evaluated by its own code.

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"

	kustomize "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/runtime/cel"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"
)

// flux judges by the expressions of a file's first Kustomization; each has to fit Flux' type.
func flux(file string) (judge, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var all []kustomize.Kustomization
	for _, document := range bytes.Split(text, []byte("\n---\n")) {
		var one kustomize.Kustomization
		if err := yaml.UnmarshalStrict(document, &one); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		all = append(all, one)
	}
	evaluators := map[schema.GroupKind]*cel.StatusEvaluator{}
	for _, check := range all[0].Spec.HealthCheckExprs {
		kind := schema.FromAPIVersionAndKind(check.APIVersion, check.Kind).GroupKind()
		if evaluators[kind], err = cel.NewStatusEvaluator(&check.HealthCheckExpressions); err != nil {
			return nil, fmt.Errorf("%s: %s: %w", file, kind, err)
		}
	}
	return func(object *unstructured.Unstructured) (any, error) {
		kind := object.GroupVersionKind().GroupKind()
		evaluator, ok := evaluators[kind]
		if !ok {
			return nil, fmt.Errorf("%s has no expressions for %s", file, kind)
		}
		result, err := evaluator.Evaluate(context.Background(), object)
		if err != nil {
			return nil, err
		}
		return verdict{string(result.Status), result.Message}, nil
	}, nil
}
