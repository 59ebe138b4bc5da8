"""Commands about rollouts: plan, up, down, status, steering, watching, adoption."""
