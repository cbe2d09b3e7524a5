"""TaskFlow: functions whose return value becomes a change."""
