// Reports with Go's standard library: go run report.go
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

// send tries again where the server asks for that; with the same key it never counts twice.
func send(path string, body any) (map[string]any, error) {
	api := os.Getenv("NOETL_METRICS_SERVER_URL")
	if api == "" {
		api = "http://127.0.0.1:8082"
	}
	content, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	key := fmt.Sprintf("resizer-%d-%d", os.Getpid(), time.Now().UnixNano())
	for attempt := 0; ; attempt++ {
		request, err := http.NewRequest("POST", api+path, bytes.NewReader(content))
		if err != nil {
			return nil, err
		}
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("Idempotency-Key", key)
		if file := os.Getenv("NOETL_METRICS_AUTH_TOKEN_FILE"); file != "" {
			token, err := os.ReadFile(file)
			if err != nil {
				return nil, err
			}
			request.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
		}
		wait := time.Duration(1<<attempt) * time.Second
		answer, err := http.DefaultClient.Do(request)
		if err == nil {
			said, _ := io.ReadAll(answer.Body)
			answer.Body.Close()
			switch answer.StatusCode {
			case http.StatusOK:
				var reply map[string]any
				return reply, json.Unmarshal(said, &reply)
			case http.StatusTooManyRequests, http.StatusServiceUnavailable:
				if seconds, bad := strconv.Atoi(answer.Header.Get("Retry-After")); bad == nil {
					wait = time.Duration(seconds) * time.Second
				}
				err = fmt.Errorf("%s: %s", answer.Status, said)
			default:
				return nil, fmt.Errorf("%s: %s", answer.Status, said)
			}
		}
		if attempt == 5 {
			return nil, err
		}
		time.Sleep(wait)
	}
}

type object map[string]any

func main() {
	component := object{"name": "resizer", "component_type": "application"}
	if _, err := send("/api/worker/pool/register", component); err != nil {
		log.Fatal(err)
	}
	reply, err := send("/api/metrics/report", object{
		"component_name": "resizer",
		"metrics": []object{{
			"metric_name": "pictures_resized_total", "metric_type": "counter", "metric_value": 88,
			"labels": object{"format": "webp"}, "help_text": "Pictures that were resized",
		}},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(reply["metrics_inserted"], "samples are stored")
}
