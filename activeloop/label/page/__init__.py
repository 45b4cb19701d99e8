"""The labelling page: HTML, CSS and JavaScript as the browser gets them, without a build step."""
