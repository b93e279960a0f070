package api

import "github.com/bytedance/sonic"

// Metrics is the JSON of get_metrics().
func Metrics(handle int) (text string, err error) {
	defer guard(handle, &err)
	e, t, err := open(handle)
	if err != nil {
		return "", err
	}
	t.Unlocked(func() { text, err = sonic.MarshalString(e.Executor.Metrics()) })
	return text, err
}

// MetricsText is the Prometheus exposition of the same.
func MetricsText(handle int) (text string, err error) {
	defer guard(handle, &err)
	e, t, err := open(handle)
	if err != nil {
		return "", err
	}
	t.Unlocked(func() { text, err = e.Executor.MetricsText() })
	return text, err
}

// Health is the JSON of health().
func Health(handle int) (text string, err error) {
	defer guard(handle, &err)
	e, t, err := open(handle)
	if err != nil {
		return "", err
	}
	t.Unlocked(func() { text, err = sonic.MarshalString(e.Executor.Health()) })
	return text, err
}
