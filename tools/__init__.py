"""Scripts that set up and check the repository; they need nothing but Python itself."""
