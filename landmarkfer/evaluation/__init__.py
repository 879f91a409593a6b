"""What a model's predictions are worth: metrics, calibration, significance, reports and results pages."""
