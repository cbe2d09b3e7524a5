"""One hook per connection type: what a connection means, and its *Test* button."""
