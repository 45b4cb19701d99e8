"""The labelling page: people answer in a browser what the loop asks, and it trains behind them."""
