"""Where files arrive: find them, receive them, keep their bytes."""
