"""Checks of what programs declare: functions and their parameters, classes, routes, flags."""
