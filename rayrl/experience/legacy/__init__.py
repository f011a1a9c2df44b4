"""Experience that other systems left as pickles, made into datasets without unpickling it here."""
