"""`python -m activeloop`."""

from activeloop.app import main

if __name__ == "__main__":
    main()
