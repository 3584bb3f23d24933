// Package crds keeps the API types of VictoriaMetrics' operator among this module's needs: the
// CRDs are generated from them.
package crds

import (
	_ "github.com/VictoriaMetrics/operator/api/operator/v1"
	_ "github.com/VictoriaMetrics/operator/api/operator/v1alpha1"
	_ "github.com/VictoriaMetrics/operator/api/operator/v1beta1"
)
