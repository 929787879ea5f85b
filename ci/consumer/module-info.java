module consumer {
    requires dev.reprise;
}
