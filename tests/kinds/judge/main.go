// Judges objects as a Kubernetes API server does: by its own code for CustomResourceDefinitions, without a server.
//
//	crds CRD.yaml < objects
//
// Objects are JSON, one a line; each is answered by a line, `ok` or the reason. Ends with 1 for a definition that an
// API server would refuse.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	v1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	definitions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"sigs.k8s.io/yaml"
)

func main() {
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(path string) error {
	judge, err := load(path)
	if err != nil {
		return err
	}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		var object map[string]interface{}
		if err := json.Unmarshal(lines.Bytes(), &object); err != nil {
			return err
		}
		fmt.Println(judge.judge(whole(object).(map[string]interface{})))
	}
	return lines.Err()
}

// whole makes integers of the numbers that are, as an API server's decoder does.
func whole(value interface{}) interface{} {
	switch found := value.(type) {
	case map[string]interface{}:
		for key, each := range found {
			found[key] = whole(each)
		}
	case []interface{}:
		for index, each := range found {
			found[index] = whole(each)
		}
	case float64:
		if found == float64(int64(found)) {
			return int64(found)
		}
	}
	return value
}

type judge struct {
	structural *schema.Structural
	fields     validation.SchemaValidator
	rules      *cel.Validator
}

// load is what an API server does when a definition is created.
func load(path string) (*judge, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var given v1.CustomResourceDefinition
	if err := yaml.UnmarshalStrict(data, &given); err != nil {
		return nil, err
	}
	v1.SetDefaults_CustomResourceDefinition(&given)
	v1.SetDefaults_CustomResourceDefinitionSpec(&given.Spec)
	given.Status.StoredVersions = []string{given.Spec.Versions[0].Name}
	var definition apiextensions.CustomResourceDefinition
	if err := v1.Convert_v1_CustomResourceDefinition_To_apiextensions_CustomResourceDefinition(&given, &definition, nil); err != nil {
		return nil, err
	}
	if found := definitions.ValidateCustomResourceDefinition(context.Background(), &definition); len(found) > 0 {
		return nil, found.ToAggregate()
	}
	properties := definition.Spec.Validation
	if properties == nil {
		properties = definition.Spec.Versions[0].Schema
	}
	structural, err := schema.NewStructural(properties.OpenAPIV3Schema)
	if err != nil {
		return nil, err
	}
	fields, _, err := validation.NewSchemaValidator(properties.OpenAPIV3Schema)
	if err != nil {
		return nil, err
	}
	return &judge{structural, fields, cel.NewValidator(structural, true, celconfig.PerCallLimit)}, nil
}

func (j *judge) judge(object map[string]interface{}) string {
	options := schema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true}
	if unknown := pruning.PruneWithOptions(object, j.structural, true, options); len(unknown) > 0 {
		return fmt.Sprintf("unknown field %q", unknown[0])
	}
	found := validation.ValidateCustomResource(nil, object, j.fields)
	found = append(found, listtype.ValidateListSetsAndMaps(nil, j.structural, object)...)
	if len(found) == 0 {
		broken, _ := j.rules.Validate(context.Background(), nil, j.structural, object, nil, celconfig.RuntimeCELCostBudget)
		found = broken
	}
	if len(found) > 0 {
		return fmt.Sprintf("%q", found[0].Error())
	}
	return "ok"
}
