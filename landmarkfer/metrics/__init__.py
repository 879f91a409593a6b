"""Arrays in, floats out: classification, calibration, selective prediction, prediction sets, significance."""
